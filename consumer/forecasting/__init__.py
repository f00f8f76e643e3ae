"""The forecasting domain: arrays in, arrays out. No clock, no files, no network, no database."""
