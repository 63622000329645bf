"""The soak benchmark: it does its faults to a real node, and tells growth from flat."""

import json
import subprocess
import sys

import pytest

from benchmarks.soak.process_usage import Usage
from benchmarks.soak.verdict import (
    Latency,
    Limits,
    Tally,
    Timed,
    find_failures,
    tenths,
    thirds,
)


def usage(resident=400.0, proportional=300.0, descriptors=26, threads=25):
    return Usage(resident, 250.0, 70.0, proportional, descriptors, threads)


FLAT = usage()
STEADY = Latency(10, 30.0, 60.0, 1.0)


def counts(*values):
    names = ('in', 'out', 'overtaken', 'refused', 'unwanted')
    return {f'frames {name}': str(value) for name, value in zip(names, values)}


def test_thirds_are_what_is_typical_of_the_ends():
    rounds = [100.0, 140.0, 101.0, 500.0, 500.0, 500.0, 103.0, 102.0, 150.0]
    first, last = thirds([usage(resident=resident) for resident in rounds])
    assert (first.resident_mib, last.resident_mib) == (101.0, 103.0)


def test_tenths_are_the_ends():
    timed = [Timed(float(i), 10.0 if i < 50 else 20.0, 1.0) for i in range(100)]
    first, last = tenths(timed)
    assert (first.p50_ms, last.p50_ms, first.answers) == (10.0, 20.0, 10)


@pytest.mark.parametrize(('last', 'late', 'wrong', 'words'), [
    (FLAT, STEADY, 0, ()),
    (usage(403.9, 302.9), STEADY, 0, ()),
    (usage(404.1), STEADY, 0, ('resident memory grew by 1.0',)),
    (usage(proportional=304.0), STEADY, 0, ('proportional memory grew by 1.3',)),
    (usage(descriptors=27, threads=26), STEADY, 0, ('descriptors grew', 'threads grew')),
    (FLAT, Latency(10, 60.0, 90.0, 1.0), 0, ('latency grew by 100 %',)),
    (FLAT, Latency(10, 60.0, 90.0, 2.0), 0, ()),  # all of the machine was slower
    (FLAT, STEADY, 3, ('3 answers',)),
])
def test_what_does_not_pass(last, late, wrong, words):
    failures = find_failures(FLAT, last, (STEADY, late), wrong, Limits())
    assert len(failures) == len(words)
    assert all(word in failure for word, failure in zip(words, failures))


def test_counts_go_on_over_activations():
    tally = Tally()
    for values in ((5, 4, 1, 0, 0), (9, 7, 2, 0, 0), (2, 1, 0, 1, 0), (3, 2, 0, 1, 0)):
        tally.add(counts(*values))
    assert tally.totals == {'in': 12, 'out': 9, 'overtaken': 2, 'refused': 1, 'unwanted': 0}


@pytest.mark.slow
def test_a_short_soak_of_a_real_node(network, model, tmp_path):
    out = tmp_path / 'soak.json'
    done = subprocess.run(
        [sys.executable, '-m', 'benchmarks.soak', '--minutes', '0.2', '--warm-up', '1',
         '--calm', '0.3', '--size', '160x128', '--model', str(model),
         '--only', 'malformed images', '--only', 'model swap', '--allowed', '1000',
         '--allowed-drift', '100000', '--out', str(out)],
        env=network.environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    result = json.loads(out.read_text())
    # Seconds are too few for anything to be flat; the rest must hold.
    assert all('grew from' in failure for failure in result['failures'])
    assert result['checked'] > 0
    assert result['wrong'] == 0
    assert result['frames']['out'] > 0
    assert {row['name'] for row in result['faults']} == {
        'malformed images', 'model swap', 'cleanup, configure'}
