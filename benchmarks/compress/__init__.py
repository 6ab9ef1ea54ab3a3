"""What pruning and distillation make of the lab's networks: accuracy beside size, work and time.

Pruning takes a trained SimpleCNN's weakest channels out and trains the rest for an epoch; beside it
stand one more epoch without pruning, and the small network trained from scratch. Distillation
trains CompactNet on the answers of ResNet-20; beside it stands CompactNet without a teacher.
Before it: ``lab sweep quick compact resnet20``; what is missing is left out, with a word about it.
Stopped, it goes on where it was.
"""
