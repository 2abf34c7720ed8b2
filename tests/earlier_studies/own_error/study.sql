BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE hpsearch_decisions (
	id INTEGER NOT NULL, 
	study VARCHAR(255) NOT NULL, 
	trial INTEGER NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	reason TEXT NOT NULL, 
	value VARCHAR(32), 
	point INTEGER, 
	stop INTEGER, 
	reports TEXT NOT NULL, 
	attributes TEXT NOT NULL, 
	time DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hpsearch_decisions" VALUES(1,'toy',0,'continue','the first fold stopped at point 4 of 4',NULL,NULL,4,'[]','{}',1.79600391455445814129e+09);
INSERT INTO "hpsearch_decisions" VALUES(2,'toy',0,'complete','every fold reached point 4','0.65',1,4,'[[1, 0.75], [2, 0.75], [3, 0.75], [4, 0.75], [5, 0.7], [6, 0.7], [7, 0.7], [8, 0.7], [9, 0.65], [10, 0.65], [11, 0.65], [12, 0.65]]','{"epoch": 0.8, "folds": [0.75, 0.65, 0.55], "metrics": {"share_wrong": 0.65, "accuracy": 0.35000000000000003, "loss": 1.1616308361291885}}',1.79600391469884681705e+09);
INSERT INTO "hpsearch_decisions" VALUES(3,'toy',1,'continue','the first fold stopped at point 4 of 4',NULL,NULL,4,'[]','{}',1.79600391488414263727e+09);
INSERT INTO "hpsearch_decisions" VALUES(4,'toy',1,'complete','every fold reached point 4','0.6666666666666666',1,4,'[[1, 0.8], [2, 0.8], [3, 0.8], [4, 0.8], [5, 0.7250000000000001], [6, 0.7250000000000001], [7, 0.7250000000000001], [8, 0.7250000000000001], [9, 0.6666666666666666], [10, 0.6666666666666666], [11, 0.6666666666666666], [12, 0.6666666666666666]]','{"epoch": 0.8, "folds": [0.8, 0.65, 0.55], "metrics": {"share_wrong": 0.6666666666666666, "accuracy": 0.3333333333333333, "loss": 1.186130665242672}}',1.79600391508316087722e+09);
INSERT INTO "hpsearch_decisions" VALUES(5,'toy',2,'continue','the first fold stopped at point 2 of 2',NULL,NULL,2,'[]','{}',1.79600391558273983008e+09);
INSERT INTO "hpsearch_decisions" VALUES(6,'toy',2,'complete','every fold reached point 2','0.6666666666666666',1,2,'[[2, 0.8], [4, 0.8], [6, 0.7250000000000001], [8, 0.7250000000000001], [10, 0.6666666666666666], [12, 0.6666666666666666]]','{"epoch": 0.8, "folds": [0.8, 0.65, 0.55], "metrics": {"share_wrong": 0.6666666666666666, "accuracy": 0.3333333333333333, "loss": 1.186130665242672}}',1.79600391567879080767e+09);
CREATE TABLE hpsearch_evaluations (
	study VARCHAR(255) NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	point INTEGER NOT NULL, 
	epoch DOUBLE NOT NULL, 
	train_loss VARCHAR(32) NOT NULL, 
	metrics TEXT NOT NULL, 
	learning_rate DOUBLE NOT NULL, 
	rows_seen BIGINT NOT NULL, 
	seconds DOUBLE NOT NULL, 
	peak_memory_bytes BIGINT NOT NULL, 
	PRIMARY KEY (study, run, point)
);
INSERT INTO "hpsearch_evaluations" VALUES('toy','3f4529c557d8cc4c1a91b7fc92c3b2b5',1,0.8,'1.1303730607032776','{"share_wrong": 0.75, "accuracy": 0.25, "loss": 1.2885571330785752}',0.01,32,1.68442560025141574442e-02,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','3f4529c557d8cc4c1a91b7fc92c3b2b5',2,1.0,'1.3406440019607544','{"share_wrong": 0.75, "accuracy": 0.25, "loss": 1.2634640276432036}',0.01,40,2.93645700003253296017e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','3f4529c557d8cc4c1a91b7fc92c3b2b5',3,1.8,'1.0968313217163086','{"share_wrong": 0.75, "accuracy": 0.25, "loss": 1.2186662077903747}',0.01,72,4.17075900259078480303e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','3f4529c557d8cc4c1a91b7fc92c3b2b5',4,2.0,'1.0672467947006226','{"share_wrong": 0.75, "accuracy": 0.25, "loss": 1.1996740758419038}',0.01,80,2.74987000011606141924e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','0c22244564cde8d9bf614152a5753d70',1,0.8,'1.1405916810035706','{"share_wrong": 0.65, "accuracy": 0.35, "loss": 1.1764219373464584}',0.01,32,8.00989700292120687663e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','0c22244564cde8d9bf614152a5753d70',2,1.0,'1.4564356803894043','{"share_wrong": 0.65, "accuracy": 0.35, "loss": 1.1574190154671669}',0.01,40,2.58259200199972838163e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','0c22244564cde8d9bf614152a5753d70',3,1.6,'1.1320360501607258','{"share_wrong": 0.6, "accuracy": 0.4, "loss": 1.1278355151414872}',0.01,64,6.08974599890643730759e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','0c22244564cde8d9bf614152a5753d70',4,2.0,'1.1137269735336304','{"share_wrong": 0.55, "accuracy": 0.45, "loss": 1.1134859442710876}',0.01,80,2.95709800047916360199e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','ff24a9478418bcf23d315f505f3997ef',1,0.6,'1.142338792483012','{"share_wrong": 0.55, "accuracy": 0.45, "loss": 1.019913437962532}',0.01,24,9.52702700669760815799e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','ff24a9478418bcf23d315f505f3997ef',2,1.0,'1.1910717487335205','{"share_wrong": 0.45, "accuracy": 0.55, "loss": 1.0105313986539841}',0.01,40,2.98056199972052127122e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','ff24a9478418bcf23d315f505f3997ef',3,1.8,'1.1251041293144226','{"share_wrong": 0.5, "accuracy": 0.5, "loss": 0.9945630520582199}',0.01,72,4.09692899484070949256e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','ff24a9478418bcf23d315f505f3997ef',4,2.0,'1.0425833463668823','{"share_wrong": 0.5, "accuracy": 0.5, "loss": 0.9865071266889572}',0.01,80,3.12006999956793151795e-03,439062528);
INSERT INTO "hpsearch_evaluations" VALUES('toy','56a2cceb313ebf95a2e700b654a2a743',1,0.8,'1.136504352092743','{"share_wrong": 0.8, "accuracy": 0.2, "loss": 1.3190326258540153}',0.001,32,8.62221599891199730336e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','56a2cceb313ebf95a2e700b654a2a743',2,1.0,'1.3815404176712036','{"share_wrong": 0.8, "accuracy": 0.2, "loss": 1.3163315892219543}',0.001,40,2.58135100011713802814e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','56a2cceb313ebf95a2e700b654a2a743',3,1.8,'1.1527199149131775','{"share_wrong": 0.8, "accuracy": 0.2, "loss": 1.3103951513767242}',0.001,72,3.52602299972204491496e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','56a2cceb313ebf95a2e700b654a2a743',4,2.0,'1.1482651233673096','{"share_wrong": 0.8, "accuracy": 0.2, "loss": 1.3088604122400285}',0.001,80,8.85288700010278262197e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','8c702ada97aa8a46f966bbd2e1a84544',1,0.8,'1.1419706344604492','{"share_wrong": 0.65, "accuracy": 0.35, "loss": 1.1988221555948257}',0.001,32,1.00026039981457870453e-02,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','8c702ada97aa8a46f966bbd2e1a84544',2,1.0,'1.4877742528915405','{"share_wrong": 0.65, "accuracy": 0.35, "loss": 1.1969968527555466}',0.001,40,7.13411700053256936371e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','8c702ada97aa8a46f966bbd2e1a84544',3,1.6,'1.1976045767466228','{"share_wrong": 0.65, "accuracy": 0.35, "loss": 1.1937385767698288}',0.001,64,3.52167700111749581992e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','8c702ada97aa8a46f966bbd2e1a84544',4,2.0,'1.2036274671554565','{"share_wrong": 0.65, "accuracy": 0.35, "loss": 1.191204458475113}',0.001,80,2.59718400047859176993e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','54b88e46036692f959e93f0dc29afa5c',1,0.6,'1.1507240533828735','{"share_wrong": 0.55, "accuracy": 0.45, "loss": 1.040537214279175}',0.001,24,0.0081208199953835,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','54b88e46036692f959e93f0dc29afa5c',2,1.0,'1.2313381433486938','{"share_wrong": 0.55, "accuracy": 0.45, "loss": 1.039261046051979}',0.001,40,2.72802800100180320441e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','54b88e46036692f959e93f0dc29afa5c',3,1.8,'1.1891964673995972','{"share_wrong": 0.55, "accuracy": 0.45, "loss": 1.037435719370842}',0.001,72,4.615499001374701038e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','54b88e46036692f959e93f0dc29afa5c',4,2.0,'1.122101068496704','{"share_wrong": 0.55, "accuracy": 0.45, "loss": 1.0361503332853317}',0.001,80,3.48940800176933407783e-03,439193600);
INSERT INTO "hpsearch_evaluations" VALUES('toy','eb878ae3f248d4092f70951aef832fd5',1,0.8,'1.136504352092743','{"share_wrong": 0.8, "accuracy": 0.2, "loss": 1.3190326258540153}',0.001,32,5.74939199941582046449e-03,439324672);
INSERT INTO "hpsearch_evaluations" VALUES('toy','eb878ae3f248d4092f70951aef832fd5',2,1.0,'1.3815404176712036','{"share_wrong": 0.8, "accuracy": 0.2, "loss": 1.3163315892219543}',0.001,40,3.05375199968693777918e-03,439324672);
INSERT INTO "hpsearch_evaluations" VALUES('toy','f8d45cd10452af135b6edc3aa3a3c03a',1,0.8,'1.1419706344604492','{"share_wrong": 0.65, "accuracy": 0.35, "loss": 1.1988221555948257}',0.001,32,7.90253599916468374431e-03,439324672);
INSERT INTO "hpsearch_evaluations" VALUES('toy','f8d45cd10452af135b6edc3aa3a3c03a',2,1.0,'1.4877742528915405','{"share_wrong": 0.65, "accuracy": 0.35, "loss": 1.1969968527555466}',0.001,40,2.69466899771941825747e-03,439324672);
INSERT INTO "hpsearch_evaluations" VALUES('toy','fc0e115f993899669c51c667fd5bea4c',1,0.6,'1.1507240533828735','{"share_wrong": 0.55, "accuracy": 0.45, "loss": 1.040537214279175}',0.001,24,1.44135479968099389225e-02,439324672);
INSERT INTO "hpsearch_evaluations" VALUES('toy','fc0e115f993899669c51c667fd5bea4c',2,1.0,'1.2313381433486938','{"share_wrong": 0.55, "accuracy": 0.45, "loss": 1.039261046051979}',0.001,40,2.75931500073056668043e-03,439324672);
CREATE TABLE hpsearch_lease (
	study VARCHAR(255) NOT NULL, 
	token INTEGER NOT NULL, 
	owner TEXT, 
	since DOUBLE NOT NULL, 
	expires DOUBLE NOT NULL, 
	PRIMARY KEY (study)
);
INSERT INTO "hpsearch_lease" VALUES('toy',1,NULL,1.79600391435099101069e+09,0.0);
CREATE TABLE hpsearch_predictions (
	study VARCHAR(255) NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	point INTEGER NOT NULL, 
	rows INTEGER NOT NULL, 
	outputs INTEGER NOT NULL, 
	float32 BLOB NOT NULL, 
	PRIMARY KEY (study, run, point)
);
INSERT INTO "hpsearch_predictions" VALUES('toy','3f4529c557d8cc4c1a91b7fc92c3b2b5',1,20,3,X'0000C0BE0000D3BD0000BD3E0000D3BE0000F4BD0000AA3E00002BBF0000A9BD00004E3F0000DBBE0000F8BC0000973E000044BF0000E8BD0000583F0000A3BE0000E5BD0000A03E00003CBE000081BC0000303E000054BE00000ABE0000D53E000022BE00009E3B00009BBD0000473F0000543E0000F33E000016BE0000ED3D0000DD3E000037BF0000A63C0000223F0000BBBE000017BD0000063F000062BF0000A4BD0000763F0000FDBE000024BE00004E3F000063BE00006A3D0000473D000093BE000020BD00001D3E000053BF0000CFBC0000543F000052BE00003DBD00000D3F000027BE0000DBBD0000ED3E');
INSERT INTO "hpsearch_predictions" VALUES('toy','0c22244564cde8d9bf614152a5753d70',1,20,3,X'0000BDBE0000613C00009F3E000097BE00008BBE00009A3E0000683E0000C9BE00006A3E0000AC3D0000A9BF0000413F0000CA3E0000B8BE00009E3E00000B3D0000CCBF00006A3F000001BE0000C13E0000593E0000C3BE0000B03E0000593E0000B1BE0000143E00009B3E00004A3E000085BE0000643E000091BE000066BF00000D3F0000E13D000002BF0000F63E000038BE0000A6BF0000483F0000A1BE0000F9BD0000C73E0000D63C000045390000E23D00000B3E000001BE0000D43D000089BE0000773E00008F3E00000B3E000010BF0000B53E000000BE0000B53E0000813E00009A3D000091BE0000A23E');
INSERT INTO "hpsearch_predictions" VALUES('toy','ff24a9478418bcf23d315f505f3997ef',1,20,3,X'000016BF00009CBE0000D1BE000080BE000036BD0000BCBD000094BE0000B7BE00008ABE000040BF0000F4BE0000F63E00006CBE0000A5BD0000E83A0000CBBE0000C7BE00001D3E000092BE0000E8BD00004D3E000043BF0000C4BE0000D23E0000BFBE0000A4BE0000E7BD000092BE00008FBE000080BE00002ABF000097BE0000903D0000B8BC00003EBF000018BF0000B0BE00000BBE00003E3E000047BD00002CBF00004FBE00001EBF00008DBE0000AC3E000003BF00005CBE0000413E0000ACBE0000EDBE0000003E00009DBE0000CABE0000D53D000007BE0000B2BE000049BC00001DBF0000CABE0000A33E');
INSERT INTO "hpsearch_predictions" VALUES('toy','56a2cceb313ebf95a2e700b654a2a743',1,20,3,X'0000B8BE000015BE0000D23E0000C6BE000017BE0000B23E000036BF0000BFBD00005B3F0000CFBE00007FBD0000A23E00003DBF000032BE0000603F0000A1BE000025BE0000C33E000046BE000031BD00005B3E000056BE00000ABE0000F93E000021BE0000DEBC00007CBD0000513F0000613E0000003F00003BBE0000003E0000023F00003FBF00008FBC0000373F0000C6BE0000FEBC0000153F00005CBF000018BE0000813F000003BF000065BE00006C3F00007ABE00003B3D0000923D000072BE00008ABD0000133E000045BF0000ADBD0000543F000059BE0000C4BD0000133F000014BE000021BE0000FF3E');
INSERT INTO "hpsearch_predictions" VALUES('toy','8c702ada97aa8a46f966bbd2e1a84544',1,20,3,X'0000ADBE0000A83D0000873E0000A9BE000040BE0000943E00005D3E0000D2BE00007B3E0000A23D0000B2BF0000553F0000C03E0000C4BE0000AE3E0000293D0000D2BF00007C3F000022BE0000F23E0000523E0000D6BE0000E23E00003D3E0000A8BE00003D3E00008F3E0000543E000090BE00006C3E0000B6BE000056BF0000113F0000C43D000000BF0000FE3E000050BE0000A8BF0000583F0000B2BE00001FBD0000B23E00003B3B00007E3C0000D63D00000B3E0000EBBD0000C13D000093BE0000B13E0000833E0000083E000019BF0000C53E000038BE0000E33E00007E3E0000773D0000ABBE0000AE3E');
INSERT INTO "hpsearch_predictions" VALUES('toy','54b88e46036692f959e93f0dc29afa5c',1,20,3,X'000024BF000083BE0000BFBE00007BBE000082BC000009BE0000C0BE000099BE000074BE000041BF0000F4BE0000023F000078BE0000B6BD00001A3D0000E7BE0000C5BE0000583E0000A5BE000018BE00007B3E000045BF0000D1BE0000DD3E0000DABE00009BBE00003BBD0000A6BE000083BE000056BE000030BF00008DBE0000AA3D0000DFBD00002EBF0000F7BE0000C5BE000020BE0000793E0000F5BD00002BBF000007BE00002DBF00009DBE0000C63E000006BF000060BE0000663E0000B0BE0000F2BE00001B3E0000A5BE0000CBBE00000B3E00002CBE0000AFBE0000B93C00001EBF0000B2BE0000993E');
INSERT INTO "hpsearch_predictions" VALUES('toy','eb878ae3f248d4092f70951aef832fd5',1,20,3,X'0000B8BE000015BE0000D23E0000C6BE000017BE0000B23E000036BF0000BFBD00005B3F0000CFBE00007FBD0000A23E00003DBF000032BE0000603F0000A1BE000025BE0000C33E000046BE000031BD00005B3E000056BE00000ABE0000F93E000021BE0000DEBC00007CBD0000513F0000613E0000003F00003BBE0000003E0000023F00003FBF00008FBC0000373F0000C6BE0000FEBC0000153F00005CBF000018BE0000813F000003BF000065BE00006C3F00007ABE00003B3D0000923D000072BE00008ABD0000133E000045BF0000ADBD0000543F000059BE0000C4BD0000133F000014BE000021BE0000FF3E');
INSERT INTO "hpsearch_predictions" VALUES('toy','f8d45cd10452af135b6edc3aa3a3c03a',1,20,3,X'0000ADBE0000A83D0000873E0000A9BE000040BE0000943E00005D3E0000D2BE00007B3E0000A23D0000B2BF0000553F0000C03E0000C4BE0000AE3E0000293D0000D2BF00007C3F000022BE0000F23E0000523E0000D6BE0000E23E00003D3E0000A8BE00003D3E00008F3E0000543E000090BE00006C3E0000B6BE000056BF0000113F0000C43D000000BF0000FE3E000050BE0000A8BF0000583F0000B2BE00001FBD0000B23E00003B3B00007E3C0000D63D00000B3E0000EBBD0000C13D000093BE0000B13E0000833E0000083E000019BF0000C53E000038BE0000E33E00007E3E0000773D0000ABBE0000AE3E');
INSERT INTO "hpsearch_predictions" VALUES('toy','fc0e115f993899669c51c667fd5bea4c',1,20,3,X'000024BF000083BE0000BFBE00007BBE000082BC000009BE0000C0BE000099BE000074BE000041BF0000F4BE0000023F000078BE0000B6BD00001A3D0000E7BE0000C5BE0000583E0000A5BE000018BE00007B3E000045BF0000D1BE0000DD3E0000DABE00009BBE00003BBD0000A6BE000083BE000056BE000030BF00008DBE0000AA3D0000DFBD00002EBF0000F7BE0000C5BE000020BE0000793E0000F5BD00002BBF000007BE00002DBF00009DBE0000C63E000006BF000060BE0000663E0000B0BE0000F2BE00001B3E0000A5BE0000CBBE00000B3E00002CBE0000AFBE0000B93C00001EBF0000B2BE0000993E');
CREATE TABLE hpsearch_queue (
	id INTEGER NOT NULL, 
	study VARCHAR(255) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	config TEXT NOT NULL, 
	time DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT hpsearch_queue_once UNIQUE (study, digest)
);
CREATE TABLE hpsearch_results (
	id INTEGER NOT NULL, 
	study VARCHAR(255) NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	horizon INTEGER NOT NULL, 
	start INTEGER NOT NULL, 
	stop INTEGER NOT NULL, 
	point INTEGER NOT NULL, 
	outcome VARCHAR(32) NOT NULL, 
	log TEXT NOT NULL, 
	time DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hpsearch_results" VALUES(1,'toy','3f4529c557d8cc4c1a91b7fc92c3b2b5',4,0,4,4,'ok','',1.79600391455898451809e+09);
INSERT INTO "hpsearch_results" VALUES(2,'toy','0c22244564cde8d9bf614152a5753d70',4,0,4,4,'ok','',1.79600391462692666058e+09);
INSERT INTO "hpsearch_results" VALUES(3,'toy','ff24a9478418bcf23d315f505f3997ef',4,0,4,4,'ok','',1.79600391476739668842e+09);
INSERT INTO "hpsearch_results" VALUES(4,'toy','56a2cceb313ebf95a2e700b654a2a743',4,0,4,4,'ok','',1.79600391489591240884e+09);
INSERT INTO "hpsearch_results" VALUES(5,'toy','8c702ada97aa8a46f966bbd2e1a84544',4,0,4,4,'ok','',1.79600391498500585553e+09);
INSERT INTO "hpsearch_results" VALUES(6,'toy','54b88e46036692f959e93f0dc29afa5c',4,0,4,4,'ok','',1.79600391551103830342e+09);
INSERT INTO "hpsearch_results" VALUES(7,'toy','eb878ae3f248d4092f70951aef832fd5',2,0,2,2,'ok','',1.79600391558703613285e+09);
INSERT INTO "hpsearch_results" VALUES(8,'toy','f8d45cd10452af135b6edc3aa3a3c03a',2,0,2,2,'ok','',1.79600391563102054597e+09);
INSERT INTO "hpsearch_results" VALUES(9,'toy','fc0e115f993899669c51c667fd5bea4c',2,0,2,2,'ok','',1.79600391573094749454e+09);
CREATE TABLE hpsearch_studies (
	study VARCHAR(255) NOT NULL, 
	layout INTEGER NOT NULL, 
	description TEXT NOT NULL, 
	created DOUBLE NOT NULL, 
	PRIMARY KEY (study)
);
INSERT INTO "hpsearch_studies" VALUES('toy',1,'{"name": "toy", "task": {"task": "toy_task:ToyTask", "arguments": {"rows": 60, "pause": 0.0, "trouble": "", "flag": "", "hoard": 0, "model": "toy"}}, "space": {"parameters": [{"name": "learning_rate", "type": "float", "low": 0.001, "high": 0.1, "log": true, "grid": [0.001, 0.01, 0.1]}, {"name": "epochs", "type": "int", "low": 1, "high": 2}], "fixed": {"batch_size": 16, "warmup_ratio": 0.0, "lr_scheduler_type": "constant", "weight_decay": 0.01}, "default": null}, "sampler": "grid", "pruner": "none", "cv": "<3>", "metric": "share_wrong", "metrics": ["share_wrong", "accuracy"], "callables": {"share_wrong": "share_wrong:share_wrong"}, "early_stopping": null, "evaluations_per_epoch": 2, "repeats": 1, "seed": 3, "precision": "auto", "deterministic": false, "data": "df16758f77de445dd7c6c60db34f2a5b", "test_data": "9caa21195b778c4de9fc857e9e50baba", "model": "dcf7a99927fa5d550497a3eaf10ec9f7", "folds": "d8425c15b1d1d852c4578aa64778201e", "definitions": {"share_wrong": "af06cce60659fdfaff7ee99be21b5223"}, "checkpoint_every": 300.0, "checkpoint_bytes": 21474836480, "facts": {"rows": 60, "test_rows": 20, "classes": ["a", "b", "c"], "kind": "multiclass", "folds": 3, "hpsearch": "0.2.0"}, "numerics": {"precision": "bf16", "micro_batch": null, "attention": "sdpa", "padding_multiple": 16, "training_padding_multiple": 1, "threads": 1, "deterministic": true, "device_type": "cpu", "device_model": "AVX512 avx512_bf16", "versions": {"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "tokenizers": "0.23.3", "numpy": "2.4.6", "scikit-learn": "1.9.1"}}, "goal": {"trials": 5}, "test": null, "models": null, "feature_cache_bytes": null, "format": 2}',1.79600391429420042036e+09);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'toy');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,0.75,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,2,0.75,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,1,3,0.75,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,1,4,0.75,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,1,5,0.7,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,1,6,0.7,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,1,7,0.7,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,1,8,0.7,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,1,9,0.65,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,1,10,0.65,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(11,1,11,0.65,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(12,1,12,0.65,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(13,2,1,0.8,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(14,2,2,0.8,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(15,2,3,0.8,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(16,2,4,0.8,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(17,2,5,7.25000000000000088817e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(18,2,6,7.25000000000000088817e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(19,2,7,7.25000000000000088817e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(20,2,8,7.25000000000000088817e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(21,2,9,6.66666666666666629659e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(22,2,10,6.66666666666666629659e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(23,2,11,6.66666666666666629659e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(24,2,12,6.66666666666666629659e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(25,3,2,0.8,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(26,3,4,0.8,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(27,3,6,7.25000000000000088817e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(28,3,8,7.25000000000000088817e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(29,3,10,6.66666666666666629659e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(30,3,12,6.66666666666666629659e-01,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'learning_rate',0.01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(2,1,'epochs',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(3,2,'learning_rate',0.001,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(4,2,'epochs',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(5,3,'learning_rate',0.001,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(6,3,'epochs',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'hpsearch:origin','"default"');
INSERT INTO "trial_system_attributes" VALUES(2,1,'hpsearch:training_config','{"learning_rate": 0.01, "batch_size": 16, "epochs": 2, "weight_decay": 0.01, "warmup_ratio": 0.0, "warmup_steps": null, "lr_scheduler_type": "constant", "decay_ratio": 0.2, "max_grad_norm": 1.0, "label_smoothing_factor": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-08, "freeze_layers": 0, "dropout": null}');
INSERT INTO "trial_system_attributes" VALUES(3,1,'hpsearch:runs','[["3f4529c557d8cc4c1a91b7fc92c3b2b5", 0, 0, 4, 3], ["0c22244564cde8d9bf614152a5753d70", 1, 0, 4, 3], ["ff24a9478418bcf23d315f505f3997ef", 2, 0, 4, 3]]');
INSERT INTO "trial_system_attributes" VALUES(4,2,'hpsearch:origin','"sampler"');
INSERT INTO "trial_system_attributes" VALUES(5,2,'hpsearch:training_config','{"learning_rate": 0.001, "batch_size": 16, "epochs": 2, "weight_decay": 0.01, "warmup_ratio": 0.0, "warmup_steps": null, "lr_scheduler_type": "constant", "decay_ratio": 0.2, "max_grad_norm": 1.0, "label_smoothing_factor": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-08, "freeze_layers": 0, "dropout": null}');
INSERT INTO "trial_system_attributes" VALUES(6,2,'hpsearch:runs','[["56a2cceb313ebf95a2e700b654a2a743", 0, 0, 4, 3], ["8c702ada97aa8a46f966bbd2e1a84544", 1, 0, 4, 3], ["54b88e46036692f959e93f0dc29afa5c", 2, 0, 4, 3]]');
INSERT INTO "trial_system_attributes" VALUES(7,3,'hpsearch:origin','"sampler"');
INSERT INTO "trial_system_attributes" VALUES(8,3,'hpsearch:training_config','{"learning_rate": 0.001, "batch_size": 16, "epochs": 1, "weight_decay": 0.01, "warmup_ratio": 0.0, "warmup_steps": null, "lr_scheduler_type": "constant", "decay_ratio": 0.2, "max_grad_norm": 1.0, "label_smoothing_factor": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-08, "freeze_layers": 0, "dropout": null}');
INSERT INTO "trial_system_attributes" VALUES(9,3,'hpsearch:runs','[["eb878ae3f248d4092f70951aef832fd5", 0, 0, 2, 3], ["f8d45cd10452af135b6edc3aa3a3c03a", 1, 0, 2, 3], ["fc0e115f993899669c51c667fd5bea4c", 2, 0, 2, 3]]');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'config','{"learning_rate": 0.01, "epochs": 2, "batch_size": 16, "warmup_ratio": 0.0, "lr_scheduler_type": "constant", "weight_decay": 0.01}');
INSERT INTO "trial_user_attributes" VALUES(2,1,'epoch','0.8');
INSERT INTO "trial_user_attributes" VALUES(3,1,'folds','[0.75, 0.65, 0.55]');
INSERT INTO "trial_user_attributes" VALUES(4,1,'metrics','{"share_wrong": 0.65, "accuracy": 0.35000000000000003, "loss": 1.1616308361291885}');
INSERT INTO "trial_user_attributes" VALUES(5,1,'reason','"every fold reached point 4"');
INSERT INTO "trial_user_attributes" VALUES(6,2,'config','{"learning_rate": 0.001, "epochs": 2, "batch_size": 16, "warmup_ratio": 0.0, "lr_scheduler_type": "constant", "weight_decay": 0.01}');
INSERT INTO "trial_user_attributes" VALUES(7,2,'epoch','0.8');
INSERT INTO "trial_user_attributes" VALUES(8,2,'folds','[0.8, 0.65, 0.55]');
INSERT INTO "trial_user_attributes" VALUES(9,2,'metrics','{"share_wrong": 0.6666666666666666, "accuracy": 0.3333333333333333, "loss": 1.186130665242672}');
INSERT INTO "trial_user_attributes" VALUES(10,2,'reason','"every fold reached point 4"');
INSERT INTO "trial_user_attributes" VALUES(11,3,'config','{"learning_rate": 0.001, "epochs": 1, "batch_size": 16, "warmup_ratio": 0.0, "lr_scheduler_type": "constant", "weight_decay": 0.01}');
INSERT INTO "trial_user_attributes" VALUES(12,3,'epoch','0.8');
INSERT INTO "trial_user_attributes" VALUES(13,3,'folds','[0.8, 0.65, 0.55]');
INSERT INTO "trial_user_attributes" VALUES(14,3,'metrics','{"share_wrong": 0.6666666666666666, "accuracy": 0.3333333333333333, "loss": 1.186130665242672}');
INSERT INTO "trial_user_attributes" VALUES(15,3,'reason','"every fold reached point 2"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.65,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,6.66666666666666629659e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,6.66666666666666629659e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-30 01:58:34.427452','2026-11-30 01:58:34.760024');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-30 01:58:34.772759','2026-11-30 01:58:35.505221');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-30 01:58:35.515210','2026-11-30 01:58:35.723356');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX ix_hpsearch_results_study ON hpsearch_results (study);
CREATE INDEX ix_hpsearch_decisions_study ON hpsearch_decisions (study);
CREATE INDEX ix_hpsearch_queue_study ON hpsearch_queue (study);
COMMIT;
