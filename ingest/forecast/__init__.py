"""From a small sample that was really built to what the whole input will bring and cost."""
