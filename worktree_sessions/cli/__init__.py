"""What can be typed: click commands, grouped by the phase of the day, with bodies of a few lines."""
