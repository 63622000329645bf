"""The demo: player, depth node and collector as separate processes over DDS, then a report."""
