"""From a thick scan to a fine one: upsampling, self-ensemble, data consistency, batches."""
