/* Parsing of signature lines; binding is bind.c. See signature.h. */
#include "signature.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *skip(const char *p) {
    while (*p == ' ') p++;
    return p;
}

/* A word up to one of the characters in stop; copied into buf. */
static const char *word(const char *p, const char *stop, char *buf, size_t size) {
    size_t n = 0;
    while (*p && !strchr(stop, *p)) {
        if (n + 1 < size) buf[n++] = *p;
        p++;
    }
    buf[n] = 0;
    return p;
}

static int set_kind(fnn_param *p, char *type) {
    size_t n = strlen(type);
    if (n > 3 && !strcmp(type + n - 3, "...")) {
        p->varargs = true;
        type[n -= 3] = 0;
    }
    if (n && type[n - 1] == '?') {
        p->optional = true;
        type[n - 1] = 0;
    }
    static const struct {
        const char *name;
        fnn_kind kind;
    } kinds[] = {{"Tensor", FNN_K_TENSOR}, {"Tensors", FNN_K_TENSORS}, {"Operand", FNN_K_OPERAND}, {"int", FNN_K_INT},
                 {"float", FNN_K_FLOAT},   {"bool", FNN_K_BOOL},       {"dtype", FNN_K_DTYPE},     {"Generator", FNN_K_GENERATOR},
                 {"ints", FNN_K_INTS},     {"format", FNN_K_FORMAT},  {"tuple", FNN_K_INTS}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(type, kinds[i].name)) {
            p->kind = kinds[i].kind;
            p->strict = !strcmp(type, "tuple");
            return 0;
        }
    if (strncmp(type, "enum:", 5)) return -1;
    p->kind = FNN_K_ENUM;
    snprintf(p->choices, sizeof p->choices, "%s", type + 5);
    return 0;
}

/* The position of `text` among "a|b|c", or -1. */
static int64_t choice(const char *choices, const char *text) {
    size_t n = strlen(text);
    int64_t at = 0;
    for (const char *p = choices; p; at++) {
        const char *bar = strchr(p, '|');
        size_t len = bar ? (size_t)(bar - p) : strlen(p);
        if (len == n && !strncmp(p, text, n)) return at;
        p = bar ? bar + 1 : NULL;
    }
    return -1;
}

static void set_default(fnn_param *p, const char *text) {
    p->has_default = true;
    p->ints.n = -1;
    if (!strcmp(text, "None")) {
        p->optional = true;
        if (p->kind == FNN_K_FLOAT)
            p->value.f = Py_NAN;
        else if (p->kind == FNN_K_GENERATOR)
            p->value.p = NULL;
        else
            p->value.i = p->kind == FNN_K_DTYPE ? -1 : p->kind == FNN_K_ENUM || p->kind == FNN_K_FORMAT ? 0 : FNN_NONE;
    } else if (p->kind == FNN_K_FLOAT) {
        p->value.f = strtod(text, NULL);
    } else if (p->kind == FNN_K_ENUM) {
        p->value.i = choice(p->choices, text);
    } else if (p->kind == FNN_K_INTS) {
        p->ints.n = 0;
        if (isdigit((unsigned char)*text) || *text == '-') {
            p->ints.n = 1;
            p->ints.v[0] = strtoll(text, NULL, 10);
        }
    } else {
        p->value.i = !strcmp(text, "True") ? 1 : strtoll(text, NULL, 10);
    }
}

static int parse_param(fnn_signature *s, const char **at, bool keyword_only) {
    if (s->n_params == FNN_MAX_PARAMS) return -1;
    fnn_param *p = &s->params[s->n_params];
    char type[64], name[32], value[32];
    memset(p, 0, sizeof *p);
    const char *c = word(*at, " ", type, sizeof type);
    c = word(skip(c), ",=)", name, sizeof name);
    if (set_kind(p, type)) return -1;
    if (*c == '=') {
        c = word(c + 1, ",)", value, sizeof value);
        set_default(p, value);
    }
    p->name = PyUnicode_InternFromString(name);
    if (!p->name) return -1;
    p->keyword_only = keyword_only;
    if (!keyword_only) s->n_positional = s->n_params + 1;
    switch (p->kind) {
    case FNN_K_TENSOR:
    case FNN_K_TENSORS:
    case FNN_K_OPERAND: p->slot = (uint8_t)s->n_in++; break;
    case FNN_K_INTS: p->slot = (uint8_t)s->n_lists++; break;
    default: p->slot = (uint8_t)s->n_values++;
    }
    s->n_params++;
    *at = c;
    return 0;
}

/* "torch.return_types.max(\nvalues=...,\nindices=...)" as torch prints it. */
static PyObject *result_repr(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject *parts = PyList_New(0), *members = PyObject_GetAttrString((PyObject *)type, "__match_args__");
    for (Py_ssize_t i = 0; parts && members && i < PyTuple_GET_SIZE(self); i++) {
        PyObject *part = PyUnicode_FromFormat("%U=%R", PyTuple_GET_ITEM(members, i), PyTuple_GET_ITEM(self, i));
        if (!part || PyList_Append(parts, part)) Py_CLEAR(parts);
        Py_XDECREF(part);
    }
    PyObject *comma = PyUnicode_FromString(",\n"), *body = comma && parts ? PyUnicode_Join(comma, parts) : NULL;
    PyObject *text = body ? PyUnicode_FromFormat("%s(\n%U)", type->tp_name, body) : NULL;
    Py_XDECREF(parts);
    Py_XDECREF(members);
    Py_XDECREF(comma);
    Py_XDECREF(body);
    return text;
}

static int parse_result(fnn_signature *s, const char *name, const char *p) {
    static char names[4][32];
    PyStructSequence_Field fields[5] = {0};
    int n = 0;
    while (*(p = skip(p)) && n < 4) {
        p = word(p, " ", names[n], sizeof names[n]);
        fields[n].name = PyUnicode_AsUTF8(PyUnicode_InternFromString(names[n]));
        n++;
    }
    char *full = malloc(64); /* the type keeps the pointer for the life of the process */
    if (!full) return -1;
    snprintf(full, 64, "torch.return_types.%s", name);
    PyStructSequence_Desc desc = {.name = full, .doc = "Several results of one op, by name.", .fields = fields, .n_in_sequence = n};
    s->result = PyStructSequence_NewType(&desc);
    if (!s->result) return -1;
    s->result->tp_repr = result_repr;
    return 0;
}

int fnn_signature_parse(fnn_signature *s, const char *name, const fnn_op *op, const char *text) {
    memset(s, 0, sizeof *s);
    s->name = name;
    s->text = text;
    s->op = op;
    bool keyword_only = false;
    const char *p = skip(text);
    if (*p++ != '(') goto wrong;
    while (*(p = skip(p)) && *p != ')') {
        if (*p == '*') {
            keyword_only = true;
            p = skip(p + 1);
        } else if (parse_param(s, &p, keyword_only)) {
            goto wrong;
        }
        if (*p == ',') p++;
    }
    if (*p != ')') goto wrong;
    p = skip(p + 1);
    if (!strncmp(p, "->", 2) && parse_result(s, name, p + 2)) goto wrong;
    return 0;
wrong:
    if (!PyErr_Occurred()) PyErr_Format(PyExc_SystemError, "signature line of %s is malformed: %s", name, text);
    return -1;
}
