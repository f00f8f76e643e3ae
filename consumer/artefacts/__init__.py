"""Files that training leaves behind, under one directory: checkpoints of running executions, and stored models."""
