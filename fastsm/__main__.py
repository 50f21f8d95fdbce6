from fastsm.cli import main

main()
