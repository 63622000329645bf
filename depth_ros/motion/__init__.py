"""Rigid motions, odometry from those a network answers, and where a camera sits on its robot."""
