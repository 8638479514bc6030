"""The parts of the detection engine: one deployment's state, its caps, budget, evidence and incidents."""
