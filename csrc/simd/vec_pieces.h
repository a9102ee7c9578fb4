/* tanh, erf and the halves of both gelus in float: sixteen or eight polynomials each, one for every piece of the half line.
 *
 * A piece's coefficients come out of the register file by one permutation a coefficient (vf_lookup), so there is no division,
 * no exponential and no branch: half the instructions of the formulas in vec_math.h. Row 0 of a table holds the point c a
 * piece is expanded around, row k + 1 the coefficient of (t - c)^k.
 * Invariant: as in vec_math.h. How the tables were made: minimax fits (Lawson's iteration on 160 Chebyshev points, values
 * with 40 digits), relative for tanh and erf, absolute for the normal tail; coefficients are rounded to float one after the
 * other and the rest fitted anew; each c was searched among the floats in the middle of its piece until the function there
 * lies within 2^-34 of a float (Gal's accurate tables), which leaves the last sum's rounding as nearly the whole error.
 * Not here: double; its forms are in vec_math.h. Read next: vec_math.h. */
#ifndef FNN_VEC_PIECES_H
#define FNN_VEC_PIECES_H

static const float fnn_tanh_pieces[8][16] = {
    {1.2497694f, 1.749765f, 2.2495773f, 2.7500668f, 3.4996204f, 4.499932f, 5.49947f, 6.4990463f, 7.9980927f, 9.0f, 9.0f,
     9.0f, 0.0f, 0.37494266f, 0.62489754f, 0.8749755f},
    {0.848219f, 0.9413488f, 0.97800773f, 0.9918608f, 0.9981765f, 0.9997532f, 0.99996656f, 0.99999547f, 0.99999976f, 1.0f,
     1.0f, 1.0f, 0.0f, 0.35830742f, 0.5545288f, 0.70389324f},
    {0.28052443f, 0.1138624f, 0.04350087f, 0.016212143f, 0.0036437127f, 4.9359485e-4f, 6.687664e-5f, 9.058538e-6f,
     4.5191706e-7f, 0.0f, 0.0f, 0.0f, 1.0f, 0.87161577f, 0.69249785f, 0.5045343f},
    {-0.2379463f, -0.10718422f, -0.04254418f, -0.016080195f, -0.0036370417f, -4.9346976e-4f, -6.687504e-5f, -9.0111325e-6f,
     -2.299946e-7f, 0.0f, 0.0f, 0.0f, -1.0973023e-6f, -0.31230646f, -0.38401002f, -0.35513827f},
    {0.108338885f, 0.06295026f, 0.027108582f, 0.010544863f, 0.0024135837f, 3.284759e-4f, 4.4534652e-5f, 6.036167e-6f,
     2.993756e-7f, 0.0f, 0.0f, 0.0f, -0.3332702f, -0.17863241f, -0.017893702f, 0.08179926f},
    {-0.012561097f, -0.023528952f, -0.012331591f, -0.0050989096f, -0.0011982685f, -1.641028e-4f, -2.226204e-5f,
     -3.5179105e-6f, -7.362893e-7f, 0.0f, 0.0f, 0.0f, -0.0011837712f, 0.16812113f, 0.13793027f, 0.060801163f},
    {-0.019729808f, 0.0034802582f, 0.003979099f, 0.0019151106f, 4.906231e-4f, 6.829035e-5f, 9.281219e-6f, 1.2456021e-6f,
     6.723838e-8f, 0.0f, 0.0f, 0.0f, 0.14308462f, 0.018669639f, -0.05435091f, -0.058564093f},
    {0.015076621f, 0.0021017082f, -7.1601383e-4f, -5.506635e-4f, -1.5767581e-4f, -2.2605103e-5f, -3.093144e-6f,
     9.095834e-7f, 3.6660288e-7f, 0.0f, 0.0f, 0.0f, -0.036977764f, -0.069901496f, -0.024347357f, 0.012991259f},
};
static const float fnn_erf_pieces[8][16] = {
    {0.0f, 0.2702137f, 0.54042387f, 0.8107041f, 1.0810063f, 1.3512007f, 1.6214198f, 1.891656f, 2.1618395f, 2.4320858f,
     2.7022376f, 2.9726636f, 3.2427664f, 3.5139902f, 3.7842603f, 4.0540543f},
    {0.0f, 0.29764238f, 0.5552965f, 0.7484153f, 0.87367946f, 0.9439808f, 0.97815394f, 0.99253166f, 0.9977666f, 0.9994172f,
     0.9998674f, 0.9999738f, 0.99999547f, 0.99999934f, 0.99999994f, 1.0f},
    {1.1283792f, 1.048926f, 0.8425892f, 0.5848155f, 0.35071114f, 0.18177946f, 0.08141303f, 0.0315059f, 0.010537998f,
     0.0030449864f, 7.6067395e-4f, 1.6395036e-4f, 3.05911e-5f, 4.8925676e-6f, 6.7699625e-7f, 0.0f},
    {0.0f, -0.28343418f, -0.45535538f, -0.4741123f, -0.37912098f, -0.2456205f, -0.13200471f, -0.059598323f, -0.022781445f,
     -0.007405664f, -0.002055517f, -4.8738933e-4f, -8.854967e-5f, -3.221689e-5f, -2.9230805e-5f, 0.0f},
    {-0.37619463f, -0.2985769f, -0.116803326f, 0.06129404f, 0.1563162f, 0.16066185f, 0.115554124f, 0.06465892f,
     0.029320803f, 0.010992412f, 0.0034493173f, 9.1116596e-4f, 2.0496544e-4f, 3.966078e-5f, 8.0490145e-6f, 0.0f},
    {0.0f, 0.13482362f, 0.18335477f, 0.13318498f, 0.041888278f, -0.026671994f, -0.049677715f, -0.04129018f, -0.024101103f,
     -0.010899329f, -0.0039758724f, -0.0011894123f, -0.0018345031f, 0.00210303f, 0.0038321181f, 0.0f},
    {0.12841013f, 0.074426934f, -0.004560245f, -0.06073533f, -0.064709075f, -0.03379019f, -0.002642177f, 0.011700888f,
     0.012004341f, 0.0073149004f, 0.0032810387f, 0.0011532811f, 2.7262294e-4f, -2.5124818e-6f, -1.2580701e-4f, 0.0f},
    {-0.09369637f, -0.042799138f, -0.04817142f, -0.018736467f, 0.011960398f, 0.022292055f, 0.014556391f, 0.0036091018f,
     -0.0021730252f, -0.0029882393f, -0.0018667283f, -8.982823e-4f, 0.055384852f, -0.07850728f, -0.13923521f, 0.0f},
};

/* The polynomial of piece i (low four bits) of degree 6 at t */
FNN_FUNCTION vf vf_piece(vf t, vf_int i, const float (*c)[16]) {
    const vf r = vf_sub(t, vf_lookup(c[0], i));
    vf p = vf_lookup(c[7], i);
    for (int k = 6; k > 0; k--) p = vf_fma(p, r, vf_lookup(c[k], i));
    return p;
}
/* The nearest integer to t * scale, 0 <= t * scale < 2^22, in the low bits */
FNN_FUNCTION vf_int vf_nearest_bits(vf t, float scale) { return vf_bits(vf_fma(t, vf_set1(scale), vf_set1(8388608.0f))); }

/* Pieces of |x| + 1 by exponent and two bits of mantissa; 1 from 9 on. Within 1 ULP. */
FNN_FUNCTION vf vf_tanh(vf x) {
    const vf t = vf_min(vf_set1(9.5f), vf_abs(x)); /* NaN passes */
    return vf_copysign(vf_piece(t, vf_ishr(vf_bits(vf_add(t, vf_set1(1.0f))), 21), fnn_tanh_pieces), x);
}
/* Pieces of width 1 / 3.7; 1 from 3.92 on. Within 2 ULP. */
FNN_FUNCTION vf vf_erf(vf x) {
    const vf t = vf_min(vf_set1(4.0f), vf_abs(x));
    return vf_copysign(vf_piece(t, vf_nearest_bits(t, 3.7f), fnn_erf_pieces), x);
}

/* ---- the halves of gelu at -t, t = min(|x|, 6.125): eight pieces of width 7/8 around its multiples ---- */

/* Row k: coefficients of (c - t)^k. Fitted as the tables above, absolute, but c is computed, not searched. The last piece
 * ends in its own c, where its value is 0. */
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
/* On AVX2 a table of eight is one permutation, one of sixteen is two and a choice. */
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
