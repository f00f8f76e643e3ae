"""The forecasting domain: arrays in, arrays out. No clock, network or database; no file but the rows to learn from."""
