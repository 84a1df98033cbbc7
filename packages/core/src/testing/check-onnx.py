"""Judges ONNX files: the checker with full shape inference, and that a shape was found for every value. A line for each."""
import sys

import onnx

for path in sys.argv[1:]:
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path, load_external_data=False)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    known = {v.name for v in [*inferred.graph.value_info, *inferred.graph.output] if v.type.tensor_type.HasField("shape")}
    unknown = [name for node in inferred.graph.node for name in node.output if name not in known]
    if unknown:
        sys.exit(f"{path}: no shape inferred for {unknown[:5]}")
    print(f"{path}: {len(model.graph.node)} nodes, opset {model.opset_import[0].version}")
