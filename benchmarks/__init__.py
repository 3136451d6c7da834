"""What gaard costs, against what it could cost and what others do: ``make bench``."""
