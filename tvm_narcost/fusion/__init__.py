"""Plans made without the runtime, candidate plans and their ranking; pure Python over OpGraph.

planner     which rules plan for which runtime
rules       for ONNX Runtime                  activations  what goes into the operator before it
draft       a graph that is rewritten         chains       GELU, layer normalisation and their kin
folding     constants into weights            transposes   pushed to where they cancel
sharing     work that is done once            layout       the blocked layout

openvino_rules   for OpenVINO                 openvino_groups  which operator joins which kernel
openvino_chains  several computed as one      openvino_layout  channels last, and what is moved
openvino_in_place  what runs no code
partition   kernels put in order              duplicates   work that is done once

patterns         how TVM lets an operator be fused            legality    what can be a kernel, and what a plan
default_plan     what TVM itself would fuse                   moves       from one legal plan to the next
candidates       plans by rules, and random ones              search      the neighbours of the best, by a cost model
oracle           a cost model, asked about many plans         ranking     the fastest first, and which is chosen
choice           when a plan is surely faster than TVM's      regions     where two plans differ
explain          what a plan does otherwise than TVM's
"""
