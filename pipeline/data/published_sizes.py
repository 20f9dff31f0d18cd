"""Distinct values of the public click logs' columns, missing excluded, as published: what their tables are sized by."""

# Criteo Kaggle 2014 and Criteo Terabyte: as published with Meta's DLRM
# (github.com/facebookresearch/dlrm); KDD Cup 2012 track 2: 8 id columns, depth, position.
CRITEO_KAGGLE = (
    *(1461, 584, 10131227, 2202609, 306, 25, 12518, 634, 4, 93146, 5684, 8351593, 3195),
    *(28, 14993, 5461307, 11, 5653, 2174, 5, 7046548, 19, 16, 286182, 106, 142573),
)
CRITEO_TERABYTE = (
    *(45833188, 36746, 17245, 7413, 20243, 3, 7114, 1441, 62, 29275261, 1572176, 345138, 10),
    *(2209, 11267, 128, 4, 974, 14, 48937457, 11316796, 40094537, 452104, 12606, 104, 35),
)
KDD2012_COLUMNS = "display_url ad_id advertiser_id query_id keyword_id title_id description_id user_id depth position"
KDD2012_SIZES = (26274, 641708, 14848, 22122011, 1188090, 3735797, 2934102, 20004011, 4, 8)
KDD2012 = dict(zip(KDD2012_COLUMNS.split(), KDD2012_SIZES, strict=True))
# Avazu Kaggle 2014: distinct values of train.csv as commonly reported; `hour` is reduced to the hour of the day.
AVAZU_COLUMNS = (
    "hour C1 banner_pos site_id site_domain site_category app_id app_domain app_category device_id device_ip "
    "device_model device_type device_conn_type C14 C15 C16 C17 C18 C19 C20 C21"
)
AVAZU_SIZES = (
    *(24, 7, 7, 4737, 7745, 26, 8552, 559, 36, 2686408, 6729486, 8251, 5, 4),
    *(2626, 8, 9, 435, 4, 68, 172, 60),
)
AVAZU = dict(zip(AVAZU_COLUMNS.split(), AVAZU_SIZES, strict=True))
