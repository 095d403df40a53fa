"""Upsampling of thick slices: methods, self-ensemble, data consistency, domain check, batches."""
