"""Small valid ONNX models with one of everything: seeds of the fuzz target, and what the tests damage."""

import onnx
from onnx import TensorProto, helper, parser

__all__ = ["valid_models"]

_TEXTS = (
    # convolution, shape arithmetic, normalisation, a weight of every kind
    """<ir_version: 9, opset_import: ["" : 17]>
    net (float[1, 3, 8, 8] x) => (float[1, N] y) <
        float[4, 3, 3, 3] w = {1}, float[4] s = {1, 2, 3, 4},
        int64 zero = {0}, int64[1] front = {0}, int64[1] rest = {-1}
    > {
        c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w, s)
        n = BatchNormalization(c, s, s, s, s)
        r = Clip(n, , )
        p = MaxPool <kernel_shape = [2, 2]> (r)
        shape = Shape(p)
        batch = Gather <axis = 0> (shape, zero)
        batches = Unsqueeze(batch, front)
        target = Concat <axis = 0> (batches, rest)
        y = Reshape(p, target)
    }""",
    # functions within functions, attributes that are handed on
    """<ir_version: 9, opset_import: ["" : 17, "own" : 1]>
    net (float[2, 4] x) => (float[2, 4] y) { y = own.Outer <slope = 0.5> (x) }
    <domain: "own", opset_import: ["" : 17, "own" : 1]>
    Outer <slope> (a) => (c) { b = own.Inner <alpha: float = @slope> (a) c = Add(a, b) }
    <domain: "own", opset_import: ["" : 17]> Inner <alpha> (a) => (b) { b = LeakyRelu <alpha: float = @alpha> (a) }""",
    # control flow
    """<ir_version: 9, opset_import: ["" : 17]>
    net (bool flag, float[1, 4] x, float[3, 4] xs) => (float[1, 4] y, float[3, 1, 4] ys) <
        int64 trips = {3}, bool yes = {1}, float[4, 4] w = {1}
    > {
        a = If(flag) <
            then_branch = small () => (float[1, 4] t) { t = Relu(x) },
            else_branch = large () => (float[1, 4] t) { t = MatMul(x, w) }
        >
        b = Loop(trips, yes, a) <
            body = step (int64 i, bool c, float[1, 4] s) => (bool d, float[1, 4] t) { t = MatMul(s, w) d = Identity(c) }
        >
        y, ys = Scan <num_scan_inputs = 1,
            body = scan (float[1, 4] s, float[4] e) => (float[1, 4] t, float[1, 4] o) { t = Add(s, e) o = Tanh(t) }
        > (b, xs)
    }""",
    # sequences, splits, opaque and fused operators
    """<ir_version: 9, opset_import: ["" : 17, "com.microsoft" : 1, "example.com" : 1]>
    net (float[6, 4] x) => (float[6, 4] y) <int64 three = {3}, float[4] bias = {0}, float[6, 4] o> {
        parts = SplitToSequence <axis = 0> (x, three)
        joined = ConcatFromSequence <axis = 0> (parts)
        g = com.microsoft.BiasGelu(joined, bias)
        o = example.com.Splat <mode = "soft"> (g)
        y = Softmax <axis = -1> (o)
    }""",
    # recurrent, and shapes that the file leaves open
    """<ir_version: 7, opset_import: ["" : 11]>
    net (float[T, 1, 3] x) => (float[T, 1, 1, 7] y) <float[1, 28, 3] w = {1}, float[1, 28, 7] r = {1}> {
        y = LSTM <hidden_size = 7> (x, w, r)
    }""",
)


def valid_models() -> list[onnx.ModelProto]:
    """The models, the last with an initializer whose data would be beside the file."""
    models = [parser.parse_model(text) for text in _TEXTS]
    model = helper.make_model(
        parser.parse_graph("net (float[1, 4] x) => (float[1, 8] y) <float[4, 8] w = {1}> { y = MatMul(x, w) }"),
        opset_imports=[helper.make_operatorsetid("", 17)],
    )
    weight = model.graph.initializer[0]
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    return [*models, model]
