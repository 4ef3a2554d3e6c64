"""What runs without Python: the loop over a plan, its threads, and how calls get there."""
