"""Scans as the SKM-TEA data set has them, for tests."""

import h5py


def skm_tea_file(root, array, name="MTR_001", **more):
    (root / "image_files").mkdir(parents=True, exist_ok=True)
    path = root / "image_files" / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file["echo1"] = array[..., 0]
        file.create_dataset("echo2", data=array[..., 1], maxshape=(None, None, None))
        file["stats/echo1/mean"] = 1.0
        for key, value in more.items():
            file[key] = value
    return path
