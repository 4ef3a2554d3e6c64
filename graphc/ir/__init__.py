"""What a program is: types, values, nodes, graphs and the operations. Imports NumPy, and networkx for analyses."""
