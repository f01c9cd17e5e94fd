"""Which nodes of a graph TensorRT cannot take, read from the graph alone: ONNX Runtime leaves them to CUDA.

By the support matrix of onnx-tensorrt 10.0 (opset 9 to 20), https://github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md.
"""

from pathlib import Path

import onnx

NEWEST_OPSET = 20
NAMES = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast CastLike Ceil
Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace
DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements
GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
GroupNormalization HardSigmoid HardSwish Hardmax Identity If ImageScaler InstanceNormalization IsInf IsNaN LRN
LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool
Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad
ParametricSoftplus Pow QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range
Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round ScaledTanh Scan Scatter ScatterElements
ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt
Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
SUPPORTED = frozenset(NAMES.split())
UINT8 = onnx.TensorProto.UINT8


def unsupported(path: Path) -> list[str]:
    """One line for each node that TensorRT cannot take, with the reason; none where it takes the whole graph."""
    graph = onnx.load(path)
    found = [
        f"opset {one.version}: it reads up to {NEWEST_OPSET}"
        for one in graph.opset_import
        if one.domain in ("", "ai.onnx") and one.version > NEWEST_OPSET
    ]
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    bytes_ = {given.name for given in graph.graph.input if given.type.tensor_type.elem_type == UINT8}
    for node in graph.graph.node:
        if reason := _reason(node, constants, bytes_):
            found.append(f"{node.op_type} ({node.name}): {reason}")
        if node.op_type in ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Identity", "Concat"):
            bytes_ |= set(node.output) if set(node.input) & bytes_ else set()
    return found


def _reason(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], bytes_: set[str]) -> str:
    if node.domain not in ("", "ai.onnx") or node.op_type not in SUPPORTED:
        return "no such operator"
    if set(node.input) & bytes_ and node.op_type not in ("Cast", "CastLike"):
        return "it takes bytes only into a Cast"
    if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2:
        zero = constants.get(node.input[2])
        if zero is None or zero.data_type == UINT8 or onnx.numpy_helper.to_array(zero).any():
            return "its zero point has to be 0, of int8"
    if node.op_type in ("Slice", "Squeeze", "Unsqueeze") or node.op_type.startswith("Reduce"):
        axes = 3 if node.op_type == "Slice" else 1
        if len(node.input) > axes and node.input[axes] and node.input[axes] not in constants:
            return "its axes have to be constant"
    if node.op_type == "Resize" and any(one.name == "antialias" and one.i for one in node.attribute):
        return "it resizes without antialiasing only"
    return ""
