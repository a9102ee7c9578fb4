"""Regression and classification with DataLoader, random_split, schedulers, clipping, several optimizers, state dicts and seeds."""

import torch
import torch.nn as nn
import torch.optim as optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, StepLR
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(11)
x = torch.randn(400, 6)
w = torch.randn(6, 3)
labels = (torch.sin(x) @ w + 0.1 * torch.randn(400, 3)).argmax(1)
train, test = random_split(TensorDataset(x, labels), [0.75, 0.25])
print(len(train), len(test), train.indices[:5])


def accuracy(model):
    model.eval()
    right = 0
    with torch.no_grad():
        for xb, yb in DataLoader(test, batch_size=33):
            right += (model(xb).argmax(dim=1) == yb).sum().item()
    model.train()
    return right / len(test)


def fit(name, make_optimizer, make_scheduler, workers):
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.1), nn.LayerNorm(32), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 3))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = make_optimizer(model.parameters())
    scheduler = make_scheduler(optimizer)
    loader = DataLoader(train, batch_size=32, shuffle=True, num_workers=workers, drop_last=True)
    print(name, len(loader))
    for epoch in range(5):
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
            total += loss.item() * xb.size(0)
        scheduler.step()
        print(f"  epoch {epoch} loss {total / len(train):.4f} norm {norm:.4f} lr {scheduler.get_last_lr()[0]:.6f} accuracy {accuracy(model):.3f}")
    state = optimizer.state_dict()
    print("  ", sorted(state["state"][0]), state["param_groups"][0]["lr"])
    print("  ", [(k, tuple(v.shape)) for k, v in model.state_dict().items()])


fit("sgd", lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4), lambda o: StepLR(o, step_size=2, gamma=0.5), 0)
fit("adam", lambda p: optim.Adam(p, lr=0.01), lambda o: CosineAnnealingLR(o, T_max=5), 2)
fit("adamw", lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1), lambda o: LinearLR(o, start_factor=0.1, total_iters=4), 0)
fit("amsgrad", lambda p: optim.Adam(p, lr=0.01, amsgrad=True), lambda o: LambdaLR(o, lambda e: 0.9**e), 0)
model = nn.Linear(6, 1)
mse = nn.MSELoss()
target = x.sum(1, keepdim=True)
opt = optim.SGD(model.parameters(), lr=0.05)
for step in range(30):
    opt.zero_grad()
    loss = mse(model(x), target)
    loss.backward()
    nn.utils.clip_grad_value_(model.parameters(), 0.5)
    opt.step()
    if step % 6 == 0:
        print(f"mse {loss:.4f}")
print(model)
