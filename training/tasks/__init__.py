"""What a run trains: networks and batches to what is minimised, as Lightning wants it."""
