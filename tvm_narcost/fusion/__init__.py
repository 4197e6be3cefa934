"""Plans made without the runtime, candidate plans and their ranking; pure Python over OpGraph.

rules       the planner by rules              activations  what goes into the operator before it
draft       a graph that is rewritten         chains       GELU, layer normalisation and their kin
folding     constants into weights            transposes   pushed to where they cancel
sharing     work that is done once            layout       the blocked layout
"""
