"""An MLP and a GRU language model in plain NumPy over fastnn.kernels, trained for 100 steps; prints the losses as JSON.

`python kernels_numpy.py mlp|gru` uses the kernels; `python kernels_numpy.py mlp|gru torch|fastnn` the same model in the tensor API.
"""

import importlib
import json
import sys

import numpy as np

V, E, H, T, B, STEPS, LR = 27, 8, 32, 6, 16, 100, 0.3


def start(kind):
    """Parameters and batches, the same for every way of training."""
    rs = np.random.RandomState(1)

    def f(*shape, scale=1.0):
        return (rs.standard_normal(shape) * scale).astype(np.float32)

    params = {"emb": f(V, E)}
    if kind == "mlp":
        params |= {"w1": f(H, T * E, scale=0.15), "b1": f(H, scale=0.1), "w2": f(V, H, scale=0.2), "b2": np.zeros(V, np.float32)}
    else:
        params |= {"w_ih": f(3 * H, E, scale=0.3), "w_hh": f(3 * H, H, scale=0.2), "b_ih": f(3 * H, scale=0.1), "b_hh": f(3 * H, scale=0.1), "w2": f(V, H, scale=0.2), "b2": np.zeros(V, np.float32)}
    sequence = rs.randint(0, V, 40)  # a text to learn by heart
    text = np.tile(sequence, 50)
    starts = rs.randint(0, len(text) - T - 1, (STEPS, B))
    batches = [(np.stack([text[i : i + T] for i in s]), np.stack([text[i + 1 : i + T + 1] for i in s])) for s in starts]
    return params, batches


def with_kernels(kind):
    import fastnn.kernels as k

    params, batches = start(kind)
    losses = []
    for x, y in batches:
        emb, s_emb = k.embedding_forward(x, params["emb"])
        if kind == "mlp":
            a, s1 = k.linear_forward(emb.reshape(B, T * E), params["w1"], params["b1"])
            h, s_h = k.tanh_forward(a)
            y = y[:, -1]
        else:
            h0 = np.zeros((B, H), np.float32)
            h, s_h = k.gru_forward(emb, h0, params["w_ih"], params["w_hh"], params["b_ih"], params["b_hh"], variant="after")
        h2 = h.reshape(-1, H)
        logits, s2 = k.linear_forward(h2, params["w2"], params["b2"])
        loss, s_ce = k.cross_entropy_forward(logits, y.reshape(-1))
        losses.append(float(loss))
        dlogits = k.cross_entropy_backward(np.float32(1), s_ce)
        dlogits = dlogits[0] if isinstance(dlogits, tuple) else dlogits
        dh, g_w2, g_b2 = k.linear_backward(dlogits, s2)
        grads = {"w2": g_w2, "b2": g_b2}
        if kind == "mlp":
            da = k.tanh_backward(dh, s_h)
            da = da[0] if isinstance(da, tuple) else da
            demb, grads["w1"], grads["b1"] = k.linear_backward(da, s1)
            demb = demb.reshape(B, T, E)
        else:
            demb, _, grads["w_ih"], grads["w_hh"], grads["b_ih"], grads["b_hh"] = k.gru_backward(dh.reshape(h.shape), s_h)
        g_emb = k.embedding_backward(demb, s_emb)
        grads["emb"] = g_emb[0] if isinstance(g_emb, tuple) else g_emb
        for name, p in params.items():
            p -= np.float32(LR) * grads[name]
    return losses


def with_tensors(kind, name):
    lib = importlib.import_module(name)
    F = importlib.import_module(name + ".nn.functional")
    arrays, batches = start(kind)
    params = {n: lib.from_numpy(a).requires_grad_(True) for n, a in arrays.items()}
    losses = []
    for x, y in batches:
        x, y = lib.from_numpy(x), lib.from_numpy(y)
        emb = F.embedding(x, params["emb"])
        if kind == "mlp":
            h = lib.tanh(F.linear(emb.reshape(B, T * E), params["w1"], params["b1"]))
            y = y[:, -1]
        else:
            state, states = lib.zeros(B, H), []
            for t in range(T):
                gx, gh = F.linear(emb[:, t], params["w_ih"], params["b_ih"]), F.linear(state, params["w_hh"], params["b_hh"])
                (xr, xz, xn), (hr, hz, hn) = gx.chunk(3, 1), gh.chunk(3, 1)
                z = lib.sigmoid(xz + hz)
                n = lib.tanh(xn + lib.sigmoid(xr + hr) * hn)
                state = (1 - z) * n + z * state
                states.append(state)
            h = lib.stack(states, 1)
        loss = F.cross_entropy(F.linear(h.reshape(-1, H), params["w2"], params["b2"]), y.reshape(-1))
        losses.append(loss.item())
        loss.backward()
        with lib.no_grad():
            for p in params.values():
                p -= LR * p.grad
                p.grad = None
    return losses


if __name__ == "__main__":
    print(json.dumps(with_kernels(sys.argv[1]) if len(sys.argv) == 2 else with_tensors(sys.argv[1], sys.argv[2])))
