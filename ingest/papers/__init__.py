"""The papers of a dataset, for people and machines, all made from its seal and its survey."""
