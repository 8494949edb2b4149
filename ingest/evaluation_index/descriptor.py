"""An optional learned tier: any copy-detection model in ONNX, such as SSCD, for borderline cases.

The model takes one picture, float32 [1, 3, S, S], RGB scaled to 0..1 and normalised by ImageNet's
mean and deviation, and gives one vector, [1, D] (Pizzi et al. 2022, "A Self-Supervised Descriptor
for Image Copy Detection", arXiv:2202.10261). Needs the extra `onnx`.
"""

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingest import storage
from ingest.errors import SetupError

# Where a model leaves its input's size open: SSCD's own.
_DEFAULT_SIDE_PX = 288
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Descriptor:
    """A loaded model; deterministic, one thread."""

    def __init__(self, path: str) -> None:
        """The model in a file or at a URI; raises SetupError if it is none, or another shape."""
        try:
            import onnxruntime
        except ImportError as error:
            raise SetupError(
                "--descriptor: expected onnxruntime, got none: pip install 'uncurated[onnx]'"
            ) from error
        try:
            content = storage.read_bytes(path)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise SetupError(
                f"--descriptor: expected an ONNX model, got no file at {path}"
            ) from error
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                content, settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise SetupError(
                f"--descriptor: expected an ONNX model, got {path}: {error}"
            ) from error
        (taken,) = self._session.get_inputs()[:1]
        if len(taken.shape) != 4 or taken.shape[1] != 3 or taken.type != "tensor(float)":
            raise SetupError(
                f"--descriptor: {path}: expected an input float32 [1, 3, S, S], got "
                f"{taken.type} {taken.shape}"
            )
        self._input = taken.name
        side = taken.shape[2]
        self.side_px: int = side if isinstance(side, int) else _DEFAULT_SIDE_PX
        self.sha256 = sha256(content).hexdigest()

    def describe(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The unit vector, float32 [D], of a picture uint8 [h, w, 3]."""
        size = (self.side_px, self.side_px)
        square = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        scaled = np.asarray(square, np.float32) / 255
        normalised = (scaled - np.array(_MEAN, np.float32)) / np.array(_DEVIATION, np.float32)
        batch = np.ascontiguousarray(normalised.transpose(2, 0, 1)[None], np.float32)
        vector = np.asarray(self._session.run(None, {self._input: batch})[0], np.float32).ravel()
        return vector / max(float(np.linalg.norm(vector)), 1e-12)
