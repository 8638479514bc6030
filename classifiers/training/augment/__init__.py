"""Hand-written texts that add kinds of answer which the public training sources lack."""
