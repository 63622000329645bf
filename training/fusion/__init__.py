"""Several depths of one image, from crops of it, combined frequency by frequency.

Source: Lee, Heo, Kim and Kim, Single-Image Depth Estimation Based on Fourier Domain Analysis, CVPR
2018.
"""
