/* tanh, erf and the halves of both gelus in float: eight polynomials each, one for every piece of the half line.
 *
 * A piece's coefficients come out of the register file by one permutation a coefficient (vf_lookup8), so there is no division,
 * no exponential and no branch: half the instructions of the formulas in vec_math.h. Sixteen pieces would save a degree, but
 * cost AVX2 two permutations and a choice for each coefficient.
 * Invariant: as in vec_math.h. How the tables were made: minimax fits (Lawson's iteration on 160 Chebyshev points, values
 * with 30 digits), relative for tanh and erf, absolute for the halves of gelu; coefficients are rounded to float one after
 * the other and the rest fitted anew.
 * Not here: double; its forms are in vec_math.h. Read next: vec_math.h. */
#ifndef FNN_VEC_PIECES_H
#define FNN_VEC_PIECES_H

/* ---- tanh, erf: pieces of 1 + scale |x| by exponent and the first bit of the mantissa ---- */

/* Row 0 holds the point c that a piece is expanded around, row k + 1 the coefficient of (t - c)^k. Each c was searched among the
 * floats in the middle of its piece until the function there lies within 2^-34 of a float (Gal's accurate tables), which
 * leaves the last sum's rounding as nearly the whole error. The order of the pieces is that of the bits: the first is column 6. */
static const float fnn_tanh_pieces[9][8] = {
    {0.9091064f, 1.5151503f, 2.4242435f, 3.6364253f, 5.454334f, 7.8614264f, 0.0f, 0.45452306f},
    {0.72070307f, 0.9078488f, 0.9844415f, 0.9986127f, 0.9999634f, 0.9999997f, 0.0f, 0.42560986f},
    {0.48058707f, 0.1758106f, 0.030874938f, 0.0027726705f, 7.318053e-5f, 5.938978e-7f, 1.0f, 0.81885624f},
    {-0.34636188f, -0.15960932f, -0.030393835f, -0.0027688923f, -7.334396e-5f, -5.817044e-7f, -1.4046041e-7f, -0.3485133f},
    {0.089430496f, 0.08629748f, 0.019628542f, 0.0018407998f, 4.890087e-5f, 3.9617018e-7f, -0.33332464f, -0.12461842f},
    {0.05108833f, -0.025150802f, -0.009204323f, -0.0009141583f, -2.3766055e-5f, -2.1758865e-7f, -0.00017781246f,
     0.16921073f},
    {-0.055972904f, -0.0020312886f, 0.0032056968f, 0.0003616728f, 9.5072255e-6f, 7.8185984e-8f, 0.13497354f, -0.012491766f},
    {0.013962584f, 0.006852283f, -0.00070350565f, -0.00012314014f, -3.962785e-6f, -2.0803917e-8f, -0.0072886143f,
     -0.058584474f},
    {0.009207172f, -0.0038330257f, 7.765931e-6f, 3.33118e-5f, 1.1268265e-6f, 8.733702e-9f, -0.04042824f, 0.028731288f},
};
static const float fnn_erf_pieces[9][8] = {
    {0.39473322f, 0.657858f, 1.0526172f, 1.5789261f, 2.368417f, 3.416415f, 0.0f, 0.19736838f},
    {0.4233175f, 0.647811f, 0.863414f, 0.974447f, 0.9991903f, 0.9999986f, 0.0f, 0.21984807f},
    {0.96557444f, 0.7319852f, 0.37261084f, 0.09327293f, 0.004133644f, 9.625363e-6f, 1.1283792f, 1.0852691f},
    {-0.38114432f, -0.48154238f, -0.39221686f, -0.14727111f, -0.009787499f, -3.2037984e-5f, -3.189361e-5f, -0.21419777f},
    {-0.22155826f, -0.032791458f, 0.15103282f, 0.1239292f, 0.01407588f, 7.17654e-5f, -0.37330544f, -0.33359012f},
    {0.17077516f, 0.17131115f, 0.051276103f, -0.048741605f, -0.013464658f, -0.00011717553f, -0.09133314f, 0.10427425f},
    {0.039535977f, -0.03662521f, -0.06689461f, -0.0064020096f, 0.008529921f, 0.00012924708f, 1.4499798f, 0.09920438f},
    {-0.050468612f, -0.03825249f, 0.009101036f, 0.016211187f, -0.002783215f, -0.00012155913f, -9.024632f, -0.02449485f},
    {-0.004696503f, 0.0591979f, 0.012908758f, -0.005626036f, -0.00012930877f, 9.529926e-5f, 22.817104f, -0.9053487f},
};

/* 1 from `end` on. NaN passes. */
FNN_FUNCTION vf vf_odd(vf x, float scale, float end, const float (*c)[8]) {
    const vf t = vf_min(vf_set1(end), vf_abs(x));
    const vf_int i = vf_ishr(vf_bits(vf_fma(t, vf_set1(scale), vf_set1(1.0f))), 22);
    const vf r = vf_sub(t, vf_lookup8(c[0], i));
    vf p = vf_lookup8(c[8], i);
    for (int k = 7; k > 0; k--) p = vf_fma(p, r, vf_lookup8(c[k], i));
    return vf_copysign(p, x);
}
/* Within 1 ULP */
FNN_FUNCTION vf vf_tanh(vf x) { return vf_odd(x, 1.65f, 9.06f, fnn_tanh_pieces); }
/* Within 2.2 ULP */
FNN_FUNCTION vf vf_erf(vf x) { return vf_odd(x, 3.8f, 3.94f, fnn_erf_pieces); }

/* ---- the halves of gelu at -t, t = min(|x|, 6.125): eight pieces of width 7/8 around its multiples ---- */

/* Row k: coefficients of (c - t)^k; c is computed, not looked up. The last piece ends in its own c, where its value is 0. */
static const float fnn_normal_tail_pieces[7][8] = {
    {0.5f, 0.19078697f, 0.040059157f, 0.0043324474f, 0.00023262939f, 6.071611e-6f, 7.60442e-8f, 0.0f},
    {0.39894235f, 0.27205533f, 0.086277455f, 0.012724012f, 0.00087269687f, 2.7844164e-5f, 4.135698e-7f, 3.2109856e-8f},
    {3.0824879e-6f, 0.11902209f, 0.075492874f, 0.016700547f, 0.0015271566f, 6.0890958e-5f, 1.0845652e-6f, -5.2965885e-7f},
    {-0.06644589f, -0.010643288f, 0.029651897f, 0.012499368f, 0.0016356683f, 8.373123e-5f, 1.7977296e-6f, 4.256061e-6f},
    {0.00029659318f, -0.022129519f, 0.00038617704f, 0.0054146512f, 0.0011779699f, 8.1762046e-5f, 2.1972894e-6f,
     -1.6179041e-5f},
    {0.010982924f, -0.0020993429f, -0.004248243f, 0.00089373416f, 0.0005852354f, 6.344768e-5f, 2.3637338e-6f,
     2.9733126e-5f},
    {0.0017190905f, 0.0024594136f, -0.0012453413f, -0.0003074252f, 0.00017562896f, 3.3414934e-5f, 1.6707843e-6f,
     -2.0890868e-5f},
};
static const float fnn_normal_bend_pieces[8][8] = {
    {0.5f, -0.047261156f, -0.110926166f, -0.029068522f, -0.0028217612f, -0.000115702416f, -2.091359e-6f, 0.0f},
    {0.7978846f, 0.3358179f, -0.091669664f, -0.062229194f, -0.008944996f, -0.00047709353f, -1.0553338e-5f, -1.5503877e-6f},
    {1.2349544e-6f, 0.3849663f, 0.070776746f, -0.048275877f, -0.012599204f, -0.0009218429f, -2.5541725e-5f, 3.547211e-5f},
    {-0.26593888f, 0.035055768f, 0.11588006f, -0.006884831f, -0.0099359555f, -0.0010965182f, -3.9276143e-5f,
     -0.0003896946f},
    {0.00019479255f, -0.10075932f, 0.039626114f, 0.01438414f, -0.0042436793f, -0.00088254496f, -4.268298e-5f,
     0.0021728761f},
    {0.060718715f, -0.027413426f, -0.012135348f, 0.010512882f, -0.00031856223f, -0.00048987835f, -3.493279e-5f,
     -0.006502649f},
    {0.0020654623f, 0.014190557f, -0.010930041f, 0.001858144f, 0.0007751467f, -0.00016975388f, -2.3320155e-5f,
     0.009904033f},
    {-0.0073625506f, 0.0059121544f, -0.0008853668f, -0.0009536283f, 0.00044164094f, -2.0336993e-5f, -1.0878467e-5f,
     -0.006035944f},
};
static const float fnn_tanh_tail_pieces[7][8] = {
    {0.5f, 0.19091123f, 0.04011692f, 0.00415387f, 0.00017605675f, 2.3601954e-6f, 7.5335755e-9f, 0.0f},
    {0.39894235f, 0.27180508f, 0.086693734f, 0.012702609f, 0.0007424909f, 1.3448792e-5f, 5.710849e-8f, 3.1878006e-10f},
    {3.1505494e-6f, 0.11889846f, 0.07533351f, 0.017017433f, 0.0014334521f, 3.6042315e-5f, 2.042951e-7f, -4.887919e-9f},
    {-0.06677351f, -0.010198805f, 0.029187778f, 0.012691221f, 0.0016556269f, 5.966842e-5f, 4.4194218e-7f, 4.0380577e-8f},
    {0.00030832313f, -0.022143217f, 0.00044895938f, 0.0053034984f, 0.0012472128f, 6.932933e-5f, 7.4010495e-7f,
     -1.4960571e-7f},
    {0.0112549355f, -0.0023424071f, -0.0040284977f, 0.00077650486f, 0.00061585533f, 6.332415e-5f, 1.1912734e-6f,
     2.7497987e-7f},
    {0.0017982675f, 0.0024780089f, -0.0012389927f, -0.00030734506f, 0.00016928192f, 3.7040005e-5f, 1.0835107e-6f,
     -1.8319452e-7f},
};
static const float fnn_tanh_bend_pieces[8][8] = {
    {0.5f, -0.046917867f, -0.111596994f, -0.029190846f, -0.002422644f, -5.6426314e-5f, -2.891248e-7f, 0.0f},
    {0.7978846f, 0.33553404f, -0.090278864f, -0.06393569f, -0.008549457f, -0.00028846067f, -2.022074e-6f, -2.360481e-8f},
    {1.2408462e-6f, 0.38342163f, 0.072747216f, -0.048844717f, -0.013086033f, -0.0006815405f, -6.744067e-6f, 5.158043e-7f},
    {-0.26725504f, 0.036888402f, 0.113569036f, -0.004947935f, -0.010826063f, -0.0009751081f, -1.4156921e-5f, -5.753902e-6f},
    {0.00019771818f, -0.0996455f, 0.037817825f, 0.015515105f, -0.004499867f, -0.00092498097f, -2.066795e-5f, 3.192595e-5f},
    {0.062103704f, -0.02913466f, -0.010739958f, 0.009780525f, 2.0378218e-6f, -0.00058675196f, -2.283535e-5f, -9.582312e-5f},
    {0.0021128228f, 0.013828577f, -0.010071196f, 0.0012458782f, 0.0010073707f, -0.00021560697f, -2.1264002e-5f,
     0.00014583349f},
    {-0.007754104f, 0.006589319f, -0.0013039628f, -0.00086698454f, 0.00043588426f, -1.7298917e-5f, -1.2834541e-5f,
     -8.92421e-5f},
};
/* -t of x: what the functions below take and gelu multiplies Q with. NaN passes. */
FNN_FUNCTION vf vf_half_line(vf x) {
    return vf_max(vf_set1(-6.125f), vf_from_bits(vf_ior(vf_bits(x), vf_iset1(INT32_MIN))));
}
FNN_FUNCTION vf vf_half(vf minus_t, const float (*c)[8], int n) {
    const vf big = vf_set1(8388608.0f), at = vf_fma(minus_t, vf_set1(-8.0f / 7), big); /* the nearest integer, in the low bits */
    const vf_int i = vf_bits(at);
    const vf r = vf_fma(vf_sub(at, big), vf_set1(0.875f), minus_t);
    vf p = vf_lookup8(c[n - 1], i);
    for (int k = n - 2; k >= 0; k--) p = vf_fma(p, r, vf_lookup8(c[k], i));
    return p;
}
#define FNN_HALF(minus_t, c) vf_half(minus_t, c, (int)(sizeof(c) / sizeof(c[0])))
/* The normal distribution's tail Q(t) = (1 - erf(t / sqrt 2)) / 2, never negative; t Q within 3e-8. */
FNN_FUNCTION vf vf_normal_tail(vf minus_t) { return vf_max(vf_set1(0.0f), FNN_HALF(minus_t, fnn_normal_tail_pieces)); }
/* Q(t) - t e^(-t^2/2) / sqrt(2 pi) = d/dt (t Q(t)), within 6e-8 */
FNN_FUNCTION vf vf_normal_bend(vf minus_t) { return FNN_HALF(minus_t, fnn_normal_bend_pieces); }
/* The same two for S(t) = 1 / (1 + e^(2 v)), v = sqrt(2/pi) (t + 0.044715 t^3), in the place of Q */
FNN_FUNCTION vf vf_tanh_tail(vf minus_t) { return vf_max(vf_set1(0.0f), FNN_HALF(minus_t, fnn_tanh_tail_pieces)); }
FNN_FUNCTION vf vf_tanh_bend(vf minus_t) { return FNN_HALF(minus_t, fnn_tanh_bend_pieces); }
#undef FNN_HALF
#endif
