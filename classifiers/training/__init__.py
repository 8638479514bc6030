"""Makes the artefact: data mapping, fine-tuning, export, calibration, evaluation. Needs the `train` extra."""
