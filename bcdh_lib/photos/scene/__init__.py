"""The world that the rendered photos show: painted surfaces, landmarks, the places around them, and the camera."""
