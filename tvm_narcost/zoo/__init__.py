"""Network families that generate ONNX graphs."""
