/* nn.Module's attribute lookup and call, as type slots.
 *
 * Module (fastnn/nn/modules/module.py) is a Python class; its __getattr__ and __call__ say what these slots do and remain for
 * whoever calls them by name. Python gives such a class slots that first fail in the ordinary way, make an AttributeError, and
 * then call the method; a layer pays that for every weight it reads. _module_slots(cls) puts the slots below in their place,
 * in Module and (from __init_subclass__) in every subclass that does not define the methods anew.
 * Invariant: what is found, and in which order, is what Python finds: attributes of the class, of the instance, then
 * _parameters, _modules, _buffers. Assigning cls.__call__ or cls.__getattr__ later makes Python set its own slot again.
 * _module_tensors is parameters() and buffers(): the walk without a generator per level.
 * It does not: set attributes, run hooks (Module._call_with_hooks does). */
#include "py.h"

static PyTypeObject *Module; /* the first class that was given */
static PyObject *base_getattr, *base_call, *base_walk; /* its methods, borrowed */
static PyObject *tables[3];                /* "_parameters", "_modules", "_buffers" */
static PyObject *name_getattr, *name_getattribute, *name_call, *name_forward, *name_hooks, *name_call_with_hooks, *name_walk;

/* ---- attributes ---- */

/* An entry of the instance's dictionary or its tables; borrowed, NULL without exception if there is none. */
static PyObject *look_up(PyObject *own, PyObject *name) {
    PyObject *found = PyDict_GetItemWithError(own, name);
    for (int i = 0; i < 3 && !found && !PyErr_Occurred(); i++) {
        PyObject *table = PyDict_GetItemWithError(own, tables[i]);
        if (table && PyDict_Check(table)) found = PyDict_GetItemWithError(table, name);
    }
    return found;
}

static PyObject *module_getattro(PyObject *self, PyObject *name) {
    if (!_PyType_Lookup(Py_TYPE(self), name)) {
        PyObject *own = PyObject_GenericGetDict(self, NULL);
        if (!own) return NULL;
        PyObject *found = Py_XNewRef(look_up(own, name));
        Py_DECREF(own);
        if (found || PyErr_Occurred()) return found;
    }
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
    PyErr_Clear();
    PyObject *args[2] = {self, name};
    return PyObject_Vectorcall(base_getattr, args, 2, NULL);
}

/* ---- calls ---- */

/* self.forward(*args, **kwargs), without making a bound method where forward is a function of the class. */
static PyObject *call_forward(PyObject *self, PyObject *own, PyObject *args, PyObject *kwargs) {
    enum { FEW = 8 };
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    PyObject *forward = _PyType_Lookup(Py_TYPE(self), name_forward);
    bool plain = forward && PyFunction_Check(forward) && n < FEW && (!kwargs || !PyDict_GET_SIZE(kwargs));
    if (plain && !PyDict_GetItemWithError(own, name_forward) && !PyErr_Occurred()) {
        PyObject *stack[FEW + 1] = {NULL, self};
        for (Py_ssize_t i = 0; i < n; i++) stack[2 + i] = PyTuple_GET_ITEM(args, i);
        return PyObject_Vectorcall(forward, stack + 1, (size_t)(n + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    if (PyErr_Occurred()) return NULL;
    forward = PyObject_GetAttr(self, name_forward);
    PyObject *result = forward ? PyObject_Call(forward, args, kwargs) : NULL;
    Py_XDECREF(forward);
    return result;
}

static PyObject *module_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    PyObject *own = PyObject_GenericGetDict(self, NULL);
    if (!own) return NULL;
    PyObject *hooks = PyDict_GetItemWithError(own, name_hooks), *result = NULL;
    if (hooks && hooks != Py_None) {
        PyObject *given = kwargs ? Py_NewRef(kwargs) : PyDict_New();
        if (given) result = PyObject_CallMethodObjArgs(self, name_call_with_hooks, args, given, NULL);
        Py_XDECREF(given);
    } else if (!PyErr_Occurred()) {
        result = call_forward(self, own, args, kwargs);
    }
    Py_DECREF(own);
    return result;
}

/* ---- walking ---- */

/* Whether o is new to the set, which has it then; -1: exception. */
static int is_new(PyObject *seen, PyObject *o) {
    int known = PySet_Contains(seen, o);
    if (known) return known < 0 ? -1 : 0;
    return PySet_Add(seen, o) ? -1 : 1;
}

/* Appends what `module` and all below have in a table; 1: some class walks in its own way. */
static int gather(PyObject *module, PyObject *table, PyObject *seen, PyObject *list) {
    if (_PyType_Lookup(Py_TYPE(module), name_walk) != base_walk) return 1;
    int fresh = is_new(seen, module);
    if (fresh <= 0) return fresh;
    PyObject *own = PyObject_GenericGetDict(module, NULL), *key, *value;
    PyObject *tensors = own ? PyDict_GetItemWithError(own, table) : NULL, *children = own ? PyDict_GetItemWithError(own, tables[1]) : NULL;
    int result = tensors && children && PyDict_Check(tensors) && PyDict_Check(children) ? 0 : PyErr_Occurred() ? -1 : 1;
    for (Py_ssize_t at = 0; !result && PyDict_Next(tensors, &at, &key, &value);) {
        if (value == Py_None) continue;
        fresh = is_new(seen, value);
        if (fresh < 0 || (fresh && PyList_Append(list, value))) result = -1;
    }
    for (Py_ssize_t at = 0; !result && PyDict_Next(children, &at, &key, &value);) {
        Py_INCREF(value); /* a class's own __hash__ may run */
        if (value != Py_None) result = gather(value, table, seen, list);
        Py_DECREF(value);
    }
    Py_XDECREF(own);
    return result;
}

/* _module_tensors(module, table): the list, or None where a class has its own named_modules. */
static PyObject *module_tensors(PyObject *unused, PyObject *const *args, Py_ssize_t n) {
    (void)unused;
    if (n != 2 || !Module || !PyObject_TypeCheck(args[0], Module)) return PyErr_SetString(PyExc_TypeError, "_module_tensors: expected a Module and the name of a table"), NULL;
    PyObject *seen = PySet_New(NULL), *list = PyList_New(0);
    int result = seen && list ? gather(args[0], args[1], seen, list) : -1;
    Py_XDECREF(seen);
    if (!result) return list;
    Py_XDECREF(list);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- installing ---- */

static PyObject *module_slots(PyObject *unused, PyObject *o) {
    (void)unused;
    if (!PyType_Check(o)) return PyErr_SetString(PyExc_TypeError, "_module_slots: expected a class"), NULL;
    PyTypeObject *type = (PyTypeObject *)o;
    if (!Module) {
        Module = (PyTypeObject *)Py_NewRef(o); /* for the life of the process */
        base_getattr = _PyType_Lookup(type, name_getattr);
        base_call = _PyType_Lookup(type, name_call);
        base_walk = _PyType_Lookup(type, name_walk);
    }
    static PyObject *plain_getattribute;
    if (!plain_getattribute) plain_getattribute = _PyType_Lookup(&PyBaseObject_Type, name_getattribute);
    if (_PyType_Lookup(type, name_getattr) == base_getattr && _PyType_Lookup(type, name_getattribute) == plain_getattribute)
        type->tp_getattro = module_getattro;
    if (_PyType_Lookup(type, name_call) == base_call) type->tp_call = module_call;
    PyType_Modified(type);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {{"_module_slots", module_slots, METH_O, NULL},
                                  {"_module_tensors", (PyCFunction)(void (*)(void))module_tensors, METH_FASTCALL, NULL},
                                  {NULL, NULL, 0, NULL}};

int fnn_init_nn_module(PyObject *module) {
    struct { PyObject **at; const char *text; } const names[] = {
        {&tables[0], "_parameters"}, {&tables[1], "_modules"}, {&tables[2], "_buffers"}, {&name_getattr, "__getattr__"},
        {&name_getattribute, "__getattribute__"}, {&name_call, "__call__"}, {&name_forward, "forward"}, {&name_hooks, "_hooks"},
        {&name_call_with_hooks, "_call_with_hooks"}, {&name_walk, "named_modules"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(*names[i].at = PyUnicode_InternFromString(names[i].text))) return -1;
    return PyModule_AddFunctions(module, functions);
}
