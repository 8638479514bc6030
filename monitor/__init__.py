"""The stream side of alignwatch: sources, decoding, sampling, labelling, detection, state, service, command line."""
