"""Photos -> features -> candidate pairs -> verified matches -> 3D models: structure from motion by COLMAP."""
