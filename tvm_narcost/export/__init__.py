"""Measured networks in other people's formats: NNLQP's data set of ONNX files, and a table."""
