"""What features tracked between the frames tell training: motions, and the unit of depth."""
