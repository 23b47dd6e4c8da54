"""What a recipe needs: memory, throughput, duration. Pure, columnar, blind to prices."""
