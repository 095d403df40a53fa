"""A digital knee whose T1, T2 and proton density are known in every voxel."""
