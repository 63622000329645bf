/* Multiply-adds a second that this CPU reaches at most: argv[1] threads, argv[2] milliseconds.
 *
 * Prints a JSON object of what the compiler's target has: fp32 (fused multiply-add), bf16 and int8
 * (dot products of pairs and of fours). Each thread keeps CHAINS registers busy, enough to hide
 * the latency of two units; nothing is loaded or stored within the loop. Chunks of the loop are
 * timed by all threads together and the fastest counts: what else the machine does only ever adds.
 *
 *     gcc -O3 -march=native -ffp-contract=fast -pthread fma_peak.c -o fma_peak
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16 /* SSE, NEON */
#endif

enum { CHAINS = 12, TURNS = 200000 };
typedef float Floats __attribute__((vector_size(BYTES)));

/* Written so that all chains stay in registers: unrolled by the preprocessor, not by hope. */
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

static volatile float sink;

static double fp32_chunk(void) {
    volatile float one = 0.999f, other = 0.001f;
    const Floats a = one - (Floats){0}, b = other - (Floats){0};
#define START(i) Floats x##i = b + (float)i;
#define STEP(i) x##i = x##i * a + b;
#define SUM(i) total += x##i;
    EACH(START)
    for (long turn = 0; turn < TURNS; turn++) {
        EACH(STEP)
    }
    Floats total = b;
    EACH(SUM)
    sink = total[0];
#undef START
#undef STEP
#undef SUM
    return (double)TURNS * CHAINS * (BYTES / 4);
}

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#if defined(__AVX512VNNI__)
typedef __m512i Integers;
#define DOT(x, a, b) _mm512_dpbusd_epi32(x, a, b)
#define FILL(v) _mm512_set1_epi32(v)
#else
typedef __m256i Integers;
#define DOT(x, a, b) _mm256_dpbusd_avx_epi32(x, a, b)
#define FILL(v) _mm256_set1_epi32(v)
#endif
#define HAS_INT8
static double int8_chunk(void) {
    volatile int one = 0x01020304, other = 0x04030201;
    const Integers a = FILL(one), b = FILL(other);
#define START(i) Integers x##i = FILL(i);
#define STEP(i) x##i = DOT(x##i, a, b);
#define SUM(i) total ^= x##i;
    EACH(START)
    for (long turn = 0; turn < TURNS; turn++) {
        EACH(STEP)
    }
    Integers total = b;
    EACH(SUM)
    sink = (float)((long long *)&total)[0];
#undef START
#undef STEP
#undef SUM
    return (double)TURNS * CHAINS * sizeof(Integers);
}
#endif

#if defined(__AVX512BF16__)
#define HAS_BF16
static double bf16_chunk(void) {
    volatile float one = 0.999f;
    const __m512 single = _mm512_set1_ps(one);
    const __m512bh a = _mm512_cvtne2ps_pbh(single, single);
#define START(i) __m512 x##i = _mm512_set1_ps((float)i);
#define STEP(i) x##i = _mm512_dpbf16_ps(x##i, a, a);
#define SUM(i) total += x##i;
    EACH(START)
    for (long turn = 0; turn < TURNS; turn++) {
        EACH(STEP)
    }
    __m512 total = single;
    EACH(SUM)
    sink = ((float *)&total)[0];
    return (double)TURNS * CHAINS * 32;
}
#endif

static pthread_barrier_t together;
static double seconds_to_spend;
static double (*chunk)(void);
static double best; /* multiply-adds a second of all threads */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

static void *work(void *threads) {
    const double until = now() + seconds_to_spend;
    static int go_on;
    int leads;
    do {
        leads = pthread_barrier_wait(&together) == PTHREAD_BARRIER_SERIAL_THREAD;
        const double began = now();
        const double done = chunk() * *(int *)threads;
        pthread_barrier_wait(&together);
        if (leads) {
            const double rate = done / (now() - began);
            if (rate > best) best = rate;
            go_on = now() < until;
        }
        pthread_barrier_wait(&together);
    } while (go_on);
    return NULL;
}

static double peak(double (*of)(void), int threads) {
    pthread_t *workers = malloc(sizeof(pthread_t) * threads);
    chunk = of;
    best = 0;
    pthread_barrier_init(&together, NULL, threads);
    for (int i = 0; i < threads; i++) pthread_create(&workers[i], NULL, work, &threads);
    for (int i = 0; i < threads; i++) pthread_join(workers[i], NULL);
    pthread_barrier_destroy(&together);
    free(workers);
    return best;
}

int main(int count, char **words) {
    const int threads = count > 1 ? atoi(words[1]) : 1;
    if (threads < 1) return 2;
    seconds_to_spend = 1e-3 * (count > 2 ? atof(words[2]) : 100);
    printf("{\"fp32\": %.6g", peak(fp32_chunk, threads));
#ifdef HAS_BF16
    printf(", \"bf16\": %.6g", peak(bf16_chunk, threads));
#endif
#ifdef HAS_INT8
    printf(", \"int8\": %.6g", peak(int8_chunk, threads));
#endif
    printf("}\n");
    return 0;
}
