"""3D models -> similar and dissimilar pairs of photos."""
