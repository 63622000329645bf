"""ROS messages to numpy and back, by duck type: of rclpy, rosbags and ROS 1 alike."""
