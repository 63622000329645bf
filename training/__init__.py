"""Turns recorded bags into depth and egomotion models (no rclpy in here)."""
