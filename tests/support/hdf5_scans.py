"""HDF5 files as in the SKM-TEA data set, for tests."""

import h5py


def write_hdf5_scan(root, array, name="MTR_001", **datasets):
    """Writes image_files/NAME.h5 with both echoes of an array and further data sets."""
    (root / "image_files").mkdir(parents=True, exist_ok=True)
    path = root / "image_files" / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file["echo1"] = array[..., 0]
        file.create_dataset("echo2", data=array[..., 1], maxshape=(None, None, None))
        file["stats/echo1/mean"] = 1.0
        for key, value in datasets.items():
            file[key] = value
    return path
