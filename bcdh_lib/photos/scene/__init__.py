"""The rendered city: painted surfaces, landmarks, the squares around them, light and camera."""
