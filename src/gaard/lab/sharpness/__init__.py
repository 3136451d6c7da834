"""What ``gaard sharpness`` measures: saved policies of runs, their curvature by block, and what lies around them."""
