"""What handlers share about inputs and outputs: texts and images."""
